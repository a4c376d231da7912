"""What a trained network is for: loading, predicting, exporting."""
