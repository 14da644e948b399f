"""What can be checked of the templates without a subscription and without the Bicep compiler."""
