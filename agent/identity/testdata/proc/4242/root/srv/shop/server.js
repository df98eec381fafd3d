// what /proc/4242 was started to run
