"""The network of torchvision's maskrcnn_resnet50_fpn, for weights it published."""

# bigkingxxl import-weights FILE --from torchvision --config torchvision_v1 --out coco.safetensors
# bigkingxxl train torchvision_v1 --init coco.safetensors --data DIR
method = "mask_rcnn"
settings = {
    "backbone": "resnet50",
    "norm": "frozen",
    "anchor_sizes": ((32.0,), (64.0,), (128.0,), (256.0,), (512.0,)),
    "anchor_ratios": (0.5, 1.0, 2.0),
    "boxes_by_type": True,
    "masks_by_type": True,
}
augment = {"size": 384, "zoom": (1.5, 3.0)}
training = {"batch_size": 4, "learning_rate": 2e-4}
# Its smallest anchor has 32 pixels: cells are enlarged to be as large.
prediction = {"scale": 2.0, "tile": 704, "overlap": 128, "batch_size": 1}
