"""Reports about runs of compilations, as pages without a script."""
