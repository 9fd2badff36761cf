"""The explanation of one image: what can be asked for, how it is made, and what is made of it."""
