"""How to call the program from Python. After `lmc compile main.lmp`, load "main.lmpc" instead."""

import lmc

program = lmc.load("main.lmp")
print(program.main(message="The parcel never came."))
