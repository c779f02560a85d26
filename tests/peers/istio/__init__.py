"""svidgate beside a real Istio: a real kube-apiserver, istiod and agents, and stock Envoys in a network of their own."""
