"""Attribution methods: each turns a generation into importance[position, token]."""
