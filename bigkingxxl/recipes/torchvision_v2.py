"""The network of torchvision's maskrcnn_resnet50_fpn_v2, for weights it published."""

# bigkingxxl import-weights FILE --from torchvision --config torchvision_v2 --out coco.safetensors
# bigkingxxl train torchvision_v2 --init coco.safetensors --data DIR
method = "mask_rcnn"
settings = {
    "backbone": "resnet50",
    "head_norm": "batch",
    "rpn_depth": 2,
    "box_head": "conv",
    "anchor_sizes": ((32.0,), (64.0,), (128.0,), (256.0,), (512.0,)),
    "anchor_ratios": (0.5, 1.0, 2.0),
    "boxes_by_type": True,
    "masks_by_type": True,
}
augment = {"size": 384, "zoom": (1.5, 3.0)}
training = {"batch_size": 8, "learning_rate": 2e-4, "freeze_statistics": True}
# Its smallest anchor has 32 pixels: cells are enlarged to be as large.
prediction = {"scale": 2.0, "tile": 704, "overlap": 128, "batch_size": 1}
