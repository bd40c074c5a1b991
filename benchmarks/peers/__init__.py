"""What ours is compared with, written by us from the description of each; none of it is ours to use."""
