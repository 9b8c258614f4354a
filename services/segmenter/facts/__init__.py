"""What events said about answers, orders, engagements and cases: one stored fact for each."""
