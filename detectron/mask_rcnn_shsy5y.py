"""Mask R-CNN for one cell type, shsy5y: a third of the team's ensemble by type.

    bigkingxxl train detectron/mask_rcnn_shsy5y.py --data DIR --out RUN_SHSY5Y
    bigkingxxl predict IMAGES --out OUT --model RUN_ASTRO/model.safetensors
        --model RUN_CORT/model.safetensors --model RUN_SHSY5Y/model.safetensors

For one GPU of 16 GB. Trained and judged on images of shsy5y alone; at prediction what the
models see decides by vote which of them is asked. (The last command is one line.)
"""

extends = "mask_rcnn_r50_pretrained"
cell_types = ("shsy5y",)
