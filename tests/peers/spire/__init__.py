"""svidgate beside real SPIRE: two trust domains with a server and an agent each, and a gateway in front of what they call."""
