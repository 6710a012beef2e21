"""The composition root: here the parts are chosen and put together, and nowhere else."""
