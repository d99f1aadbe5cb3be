"""Mask R-CNN for one cell type, cort: a third of the team's ensemble by type.

    bigkingxxl train detectron/mask_rcnn_cort.py --data DIR --out RUN_CORT
    bigkingxxl predict IMAGES --out OUT --model RUN_ASTRO/model.safetensors
        --model RUN_CORT/model.safetensors --model RUN_SHSY5Y/model.safetensors

For one GPU of 16 GB. Trained and judged on images of cort alone; at prediction what the
models see decides by vote which of them is asked. (The last command is one line.)
"""

extends = "mask_rcnn_r50_pretrained"
cell_types = ("cort",)
