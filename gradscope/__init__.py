"""gradscope shows where gradients go in recurrent networks."""
