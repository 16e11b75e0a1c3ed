"""Step 2: model -> model, one file a technique."""
