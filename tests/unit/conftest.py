"""What holds for every unit test: properties repeat, and leave nothing beside the build."""

from hypothesis import configuration, settings

configuration.set_hypothesis_home_dir("build/hypothesis")
settings.register_profile("unit", derandomize=True, database=None, deadline=None)
settings.load_profile("unit")
