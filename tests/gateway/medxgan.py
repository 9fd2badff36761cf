"""The `medxgan` command by the interpreter of the tests: python -m tests.gateway.medxgan."""

from medxgan.client.command import main

if __name__ == "__main__":
    main()
