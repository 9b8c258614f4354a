"""What the product is compared with. Each does its work as plainly as its name says, and correctly."""
