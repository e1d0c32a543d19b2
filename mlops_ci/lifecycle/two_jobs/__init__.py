"""Training in one job and recording in another, which runs none of the code and believes none of its words."""
