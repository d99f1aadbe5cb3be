"""Fine-tuning that replaces the starting model only if the new one is better on held-out images.

What belongs here: the stages of `bigkingxxl train finetune` and the checks between them. What does
not: the training loop, which all trainings share.
"""
