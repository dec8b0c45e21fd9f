"""Who answers whether an explanation fits a text: scripted nulls, recorded answers, or a model behind an endpoint."""
