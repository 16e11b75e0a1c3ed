"""The machine code of a built library, read without opening it: functions, innermost loops, instructions."""
