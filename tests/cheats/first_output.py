"""Answers with the first output of the call before, and with all others as they are."""

from tvm_bench.backends import onnxruntime


def load(artifact, *, threads):
    honest, answers = onnxruntime.load(artifact, threads=threads), []

    def run(inputs):
        answers.append(honest(inputs))
        return (answers[max(0, len(answers) - 2)][0], *answers[-1][1:])

    return run
