"""The spatio-temporal UNet: Stable Video Diffusion's (Blattmann et al. 2023) with Sonic's audio attention."""
