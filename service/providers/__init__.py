"""Who answers: a file here is a provider, a row in config/providers.toml is one too."""
