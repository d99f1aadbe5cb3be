"""Fine-tuning that keeps the starting model unless the new one is better on images kept back.

What belongs here: the stages of `bigkingxxl train finetune` and the checks between them. What does
not: the training loop itself, which is that of every training.
"""
