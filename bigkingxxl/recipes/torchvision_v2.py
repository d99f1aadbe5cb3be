"""The network of torchvision's maskrcnn_resnet50_fpn_v2, for weights it published."""

# bigkingxxl import-weights FILE --from torchvision --config torchvision_v2 --out coco.safetensors
# bigkingxxl train torchvision_v2 --init coco.safetensors --data DIR
extends = "torchvision_v1"
without = ["settings.norm"]
settings = {"head_norm": "batch", "rpn_depth": 2, "box_head": "conv"}
training = {"batch_size": 8, "freeze_statistics": True}
