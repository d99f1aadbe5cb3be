"""Cross-validation as one training: every fold, and results of every image by who did not learn it.

`plan` says which images each fold validates, `run` trains the folds one after the other, `tuning`
chooses their operating points on images that they did not learn from, `out_of_fold` predicts every
image by the model that did not see it, and `scores` says how good that is.
"""
