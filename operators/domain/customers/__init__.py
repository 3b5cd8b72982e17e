"""One record per customer: fading sums and means, and the churn score made from them."""
