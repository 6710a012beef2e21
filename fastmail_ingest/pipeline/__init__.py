"""The data path: producer, worker, batch; and the maintenance around it. It knows ports, not parts."""
