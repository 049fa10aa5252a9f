"""The ``hiddencost`` command; a module per subcommand, imported when it is called."""
