"""Cross-validation: train one model per fold, and predict each image with a model new to it.

What belongs here: training one model per fold, and scores of every image by a model that was not
trained on it. What does not: dividing a data set into folds (`data.split`).

`plan` determines the validation images of each fold, `run` trains the folds one after the other,
`tuning` tunes their operating points on images that they were not trained on, `out_of_fold`
predicts every image with the model that was not trained on it, and `scores` computes the scores.
"""
