"""UNETR-GAN: the small UNETR with a critic that also judges images without annotation.

    bigkingxxl train unetr_gan --data SARTORIUS [--unlabelled DIR]

Any other dense method learns so with `--set adversarial.weight=0.002`.
"""

extends = "unetr"
adversarial = {
    # At 0.02 the critic pulls the compact network harder than the annotations do, and to its harm.
    "weight": 0.002,
    "begin": 0.1,
    "full": 0.4,
    "game": "wasserstein",
    "gradient_penalty": 10.0,
    "critic_steps": 1,
}
