"""The portal's view of the app: queries, workbook, and the names that both and the code agree on."""
