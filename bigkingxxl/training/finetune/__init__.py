"""Fine-tuning that keeps the starting model unless the new one is better on images kept back."""
