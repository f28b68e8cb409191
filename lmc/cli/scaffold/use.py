"""The program in an app; "main.lmpc" is there after `lmc compile main.lmp`."""

import lmc

program = lmc.load("main.lmp")
print(program.main(message="The parcel never came."))
