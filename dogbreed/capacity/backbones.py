"""How large each backbone is: billions of multiply-adds for one photo, and millions of weights.

From the metadata of torchvision 0.28's weights (their `_ops` and `num_params`), for the smallest input of each.
"""

from __future__ import annotations

_TABLE = """
alexnet 0.714 61.1, convnext_base 15.355 88.6, convnext_large 34.361 197.8, convnext_small 8.684 50.2,
convnext_tiny 4.456 28.6, densenet121 2.834 8.0, densenet161 7.728 28.7, densenet169 3.36 14.1,
densenet201 4.291 20.0, efficientnet_b0 0.386 5.3, efficientnet_b1 0.687 7.8, efficientnet_b2 1.088 9.1,
efficientnet_b3 1.827 12.2, efficientnet_b4 4.394 19.3, efficientnet_b5 10.266 30.4, efficientnet_b6 19.068 43.0,
efficientnet_b7 37.746 66.3, efficientnet_v2_l 56.08 118.5, efficientnet_v2_m 24.582 54.1,
efficientnet_v2_s 8.366 21.5, googlenet 1.498 6.6, inception_v3 5.713 27.2, maxvit_t 5.558 30.9, mnasnet0_5 0.104 2.2,
mnasnet0_75 0.215 3.2, mnasnet1_0 0.314 4.4, mnasnet1_3 0.526 6.3, mobilenet_v2 0.301 3.5,
mobilenet_v3_large 0.217 5.5, mobilenet_v3_small 0.057 2.5, regnet_x_16gf 15.941 54.3, regnet_x_1_6gf 1.603 9.2,
regnet_x_32gf 31.736 107.8, regnet_x_3_2gf 3.177 15.3, regnet_x_400mf 0.414 5.5, regnet_x_800mf 0.8 7.3,
regnet_x_8gf 7.995 39.6, regnet_y_128gf 127.518 644.8, regnet_y_16gf 15.912 83.6, regnet_y_1_6gf 1.612 11.2,
regnet_y_32gf 32.28 145.0, regnet_y_3_2gf 3.176 19.4, regnet_y_400mf 0.402 4.3, regnet_y_800mf 0.834 6.4,
regnet_y_8gf 8.473 39.4, resnet101 7.801 44.5, resnet152 11.514 60.2, resnet18 1.814 11.7, resnet34 3.664 21.8,
resnet50 4.089 25.6, resnext101_32x8d 16.414 88.8, resnext101_64x4d 15.46 83.5, resnext50_32x4d 4.23 25.0,
shufflenet_v2_x0_5 0.04 1.4, shufflenet_v2_x1_0 0.145 2.3, shufflenet_v2_x1_5 0.296 3.5, shufflenet_v2_x2_0 0.583 7.4,
squeezenet1_0 0.819 1.2, squeezenet1_1 0.349 1.2, swin_b 15.431 87.8, swin_s 8.741 49.6, swin_t 4.491 28.3,
swin_v2_b 20.325 87.9, swin_v2_s 11.546 49.7, swin_v2_t 5.94 28.4, vgg11 7.609 132.9, vgg11_bn 7.609 132.9,
vgg13 11.308 133.0, vgg13_bn 11.308 133.1, vgg16 15.47 138.4, vgg16_bn 15.47 138.4, vgg19 19.632 143.7,
vgg19_bn 19.632 143.7, vit_b_16 17.564 86.6, vit_b_32 4.409 88.2, vit_h_14 167.295 632.0, vit_l_16 61.555 304.3,
vit_l_32 15.378 306.5, wide_resnet101_2 22.753 126.9, wide_resnet50_2 11.398 68.9
"""

# The starter is a MobileNetV2 with a smaller head.
SIZES = {"starter": (0.301, 2.4)} | {
    name: (float(gmacs), float(weights)) for name, gmacs, weights in (row.split() for row in _TABLE.split(","))
}
UNKNOWN = SIZES["resnet50"]
