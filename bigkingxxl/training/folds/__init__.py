"""Cross-validation as one training: every fold, and results of every image by who did not learn it.

What belongs here: training one model per fold, and scores of every image by a model that did not
learn it. What does not: dividing a data set into folds (`data.split`).

`plan` says which images each fold validates, `run` trains the folds one after the other, `tuning`
chooses their operating points on images that they did not learn from, `out_of_fold` predicts every
image by the model that did not see it, and `scores` says how good that is.
"""
