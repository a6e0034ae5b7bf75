"""The service: one application behind every door, answering photos with the Predictor."""
