"""All settings are in setup.cfg; this file lets `pip` and older tools find them."""

from setuptools import setup

setup()
