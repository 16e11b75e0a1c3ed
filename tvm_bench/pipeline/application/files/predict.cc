// Run the compiled model from C++: ./predict INPUT [INPUT ...], one file of raw values for each input of the model.
// Prints the five largest values of each output. TVM_NUM_THREADS sets the number of threads.
// It checks nothing: run `python predict.py --check` first.

#include <tvm/runtime/module.h>
#include <tvm/runtime/ndarray.h>
#include <tvm/runtime/packed_func.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <vector>

using tvm::runtime::Module;
using tvm::runtime::NDArray;

static size_t Elements(const NDArray& array) {
  return std::accumulate(array->shape, array->shape + array->ndim, size_t{1}, std::multiplies<size_t>());
}

int main(int argc, char** argv) {
  // How threads wait, see tvm_runtime.py: TVM's own defaults are slow beside another busy program.
  setenv("TVM_BIND_THREADS", "0", 0);
  setenv("TVM_THREAD_POOL_SPIN_COUNT", "1000", 0);
  Module library = Module::LoadFromFile("model/lib.so");
  Module executor = library.GetFunction("default")(DLDevice{kDLCPU, 0});

  for (int i = 1; i < argc; ++i) {
    NDArray input = executor.GetFunction("get_input")(i - 1);
    const size_t bytes = Elements(input) * input->dtype.bits / 8;
    std::ifstream file(argv[i], std::ios::binary);
    if (!file.read(static_cast<char*>(input->data), bytes) || file.peek() != EOF) {
      std::fprintf(stderr, "%s must have %zu bytes\n", argv[i], bytes);
      return 2;
    }
  }
  executor.GetFunction("run")();

  const int outputs = executor.GetFunction("get_num_outputs")();
  for (int i = 0; i < outputs; ++i) {
    NDArray output = executor.GetFunction("get_output")(i);
    if (output->dtype.code != kDLFloat || output->dtype.bits != 32) continue;
    const float* values = static_cast<const float*>(output->data);
    std::vector<size_t> order(Elements(output));
    std::iota(order.begin(), order.end(), 0);
    const size_t top = std::min<size_t>(5, order.size());
    std::partial_sort(order.begin(), order.begin() + top, order.end(),
                      [values](size_t a, size_t b) { return values[a] > values[b]; });
    std::printf("output %d\n", i);
    for (size_t j = 0; j < top; ++j) std::printf("  %zu %g\n", order[j], values[order[j]]);
  }
}
