"""The configuration: two small YAML files, every parameter declared once with type, default and text.

`load(directory)` reads `main.yaml` and `master.yaml` and reports every mistake with file, line and key.
`Config` answers typed look-ups, `config[MESSAGE_SIZE_LIMIT]`; `Service` is one entry of `master.yaml`.
"""

from pillarbox.lib.config.errors import ConfigError, Problem
from pillarbox.lib.config.files import config_directory, load
from pillarbox.lib.config.services import Service
from pillarbox.lib.config.values import Config

__all__ = ["Config", "ConfigError", "Problem", "Service", "config_directory", "load"]
