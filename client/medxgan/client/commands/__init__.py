"""The subcommands of `medxgan`. What takes long to import is imported by the subcommand that needs it."""
