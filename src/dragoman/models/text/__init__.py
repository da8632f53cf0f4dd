"""Text encoders behind one contract: a small one, Hugging Face trunks, published towers."""
