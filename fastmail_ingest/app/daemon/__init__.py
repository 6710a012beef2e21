"""Starting, stopping and asking after a supervisor that runs by itself, without a service manager."""
