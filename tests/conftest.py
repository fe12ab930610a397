"""What holds for every test."""

from hypothesis import settings

# A busy machine is no failure: no example has a deadline.
settings.register_profile("homethrive", deadline=None)
settings.load_profile("homethrive")
