"""svidgate beside a real cert-manager: its controllers, a real kube-apiserver, and what they issue."""
