"""What the target azure_ml_deployment does, in its parts: options, bodies, operations, and the rollout itself."""
