"""R-CNN-GAN: the small Mask R-CNN whose masks have to convince a critic.

    bigkingxxl train rcnn_gan --data SARTORIUS [--unlabelled DIR]

Its masks are pasted softly, so that the critic's gradient reaches mask head, features and backbone.
"""

extends = "mask_rcnn"
# A detector's losses are larger than a dense method's.
adversarial = {"weight": 0.2, "begin": 0.2, "full": 0.5}
